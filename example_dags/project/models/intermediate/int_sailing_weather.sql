-- The last reading at the port of origin before the departure.
with sailings as (

    select * from {{ ref('stg_sailings') }}

),

routes as (

    select * from {{ ref('stg_routes') }}

),

weather as (

    select * from {{ ref('stg_weather') }}

)

select
    sailings.sailing_id,
    weather.observed_at,
    weather.wind_ms,
    weather.wave_height_m,
    case
        when weather.wind_ms < 10.8 then 'breeze'
        when weather.wind_ms < 13.9 then 'strong breeze'
        when weather.wind_ms < 24.5 then 'gale'
        else 'storm'
    end as wind_band
from sailings
inner join routes on sailings.route_code = routes.route_code
asof left join weather
    on routes.origin_port = weather.port_code and sailings.scheduled_departure >= weather.observed_at
