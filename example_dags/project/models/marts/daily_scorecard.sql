with sailings as (

    select
        sailing_date,
        count(*)::integer as sailings,
        count_if(is_cancelled)::integer as cancelled,
        {{ percent('count_if(is_punctual)', 'count_if(not is_cancelled)') }} as punctual_pct,
        sum(passengers)::integer as passengers
    from {{ ref('sailings') }}
    group by sailing_date

),

margins as (

    select
        sailing_date,
        sum(revenue_eur)::decimal(12, 2) as revenue_eur,
        sum(margin_eur)::decimal(12, 2) as margin_eur
    from {{ ref('route_margin') }}
    group by sailing_date

)

select
    sailings.sailing_date,
    sailings.sailings,
    sailings.cancelled,
    sailings.punctual_pct,
    sailings.passengers,
    margins.revenue_eur,
    margins.margin_eur
from sailings
inner join margins on sailings.sailing_date = margins.sailing_date
