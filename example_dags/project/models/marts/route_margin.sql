with sailings as (

    select * from {{ ref('sailings') }}

),

routes as (

    select * from {{ ref('stg_routes') }}

),

vessels as (

    select * from {{ ref('stg_vessels') }}

),

dues as (

    select * from {{ ref('port_dues') }}

),

days as (

    select
        sailings.route_code,
        sailings.route_name,
        sailings.sailing_date,
        sum(sailings.revenue_eur) as revenue_eur,
        coalesce(
            sum(routes.distance_nm * vessels.fuel_litres_per_nm) filter (where not sailings.is_cancelled), 0
        ) * {{ var('fuel_eur_per_litre') }} as fuel_eur
    from sailings
    inner join routes on sailings.route_code = routes.route_code
    inner join vessels on sailings.vessel_code = vessels.vessel_code
    group by sailings.route_code, sailings.route_name, sailings.sailing_date

)

select
    days.route_code,
    days.route_name,
    days.sailing_date,
    days.revenue_eur::decimal(12, 2) as revenue_eur,
    days.fuel_eur::decimal(12, 2) as fuel_eur,
    coalesce(dues.dues_eur, 0)::decimal(12, 2) as dues_eur,
    (days.revenue_eur - days.fuel_eur - coalesce(dues.dues_eur, 0))::decimal(12, 2) as margin_eur
from days
left join dues
    on days.route_code = dues.route_code and days.sailing_date = dues.sailing_date
