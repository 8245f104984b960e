with sailings as (

    select * from {{ ref('sailings') }}
    where not is_cancelled

),

vessels as (

    select * from {{ ref('stg_vessels') }}

),

routes as (

    select * from {{ ref('stg_routes') }}

)

select
    vessels.vessel_code,
    vessels.vessel_name,
    sailings.sailing_date,
    count(*)::integer as sailings,
    sum(routes.distance_nm) as distance_nm,
    sum(routes.distance_nm) * vessels.fuel_litres_per_nm as fuel_litres,
    {{ percent('sum(sailings.passengers)', 'sum(sailings.passenger_capacity)') }} as seats_used_pct,
    {{ percent('sum(sailings.lane_metres)', 'sum(sailings.lane_metres_capacity)') }} as car_deck_used_pct
from sailings
inner join vessels on sailings.vessel_code = vessels.vessel_code
inner join routes on sailings.route_code = routes.route_code
group by
    vessels.vessel_code,
    vessels.vessel_name,
    vessels.fuel_litres_per_nm,
    sailings.sailing_date
