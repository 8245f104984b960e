select
    route_code,
    route_name,
    count(*)::integer as sailings,
    count_if(is_cancelled)::integer as cancelled,
    {{ percent('count_if(is_punctual)', 'count_if(not is_cancelled)') }} as punctual_pct,
    sum(passengers)::integer as passengers,
    {{ percent('sum(passengers) filter (where not is_cancelled)',
               'sum(passenger_capacity) filter (where not is_cancelled)') }} as load_pct,
    sum(revenue_eur)::decimal(12, 2) as revenue_eur
from {{ ref('sailings') }}
where sailing_date > (select max(sailing_date) - 7 from {{ ref('sailings') }})
group by route_code, route_name
