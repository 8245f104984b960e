with routes as (

    select * from {{ ref('routes') }}

),

ports as (

    select * from {{ ref('ports') }}

)

select
    routes.route_code,
    origins.port_name || ' - ' || destinations.port_name as route_name,
    routes.origin_port,
    routes.destination_port,
    routes.distance_nm,
    routes.scheduled_minutes,
    routes.sailings_per_day
from routes
left join ports as origins on routes.origin_port = origins.port_code
left join ports as destinations on routes.destination_port = destinations.port_code
