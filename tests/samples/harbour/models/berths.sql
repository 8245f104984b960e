select berth, length_m, tariff from {{ ref('berths_seed') }}
{% if var('double') %} union all select 'North', 120, '340.50' {% endif %}
