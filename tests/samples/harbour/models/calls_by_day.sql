{{ config(
    materialized='incremental', incremental_strategy='microbatch', event_time='called_at',
    begin='2025-03-01', batch_size='day'
) }}
select
    called_at,
    {% if var('lost_day') %}case when day(called_at) = 2 then error('The day is lost.') end{% else %}null{% endif %} as ship
from {{ ref('calls') }}
