{{ config(materialized='table') }}
{% if execute and var('closed') %}{{ exceptions.raise_compiler_error('The harbour is closed.') }}{% endif %}
select
    berth,
    {% if var('strict') %}cast(tariff as decimal(9, 2))
    {% elif var('free') %}coalesce(try_cast(tariff as decimal(9, 2)), 0)
    {% else %}try_cast(tariff as decimal(9, 2))
    {% endif %} as dues_eur
from {{ ref('berths') }}
