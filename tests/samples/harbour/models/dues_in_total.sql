{{ config(materialized='table') }}
select sum(dues_eur) as dues_eur from {{ ref('port_dues') }}
