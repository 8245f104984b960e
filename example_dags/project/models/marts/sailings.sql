{{
    config(
        materialized='incremental',
        unique_key='sailing_id',
        incremental_strategy='delete+insert',
        on_schema_change='append_new_columns',
    )
}}

with sailings as (

    select * from {{ ref('stg_sailings') }}
    {% if is_incremental() %}
    -- A day may be landed late or again: what counts is whether this landing of it was seen.
    anti join {{ this }} using (sailing_id, landed_at)
    {% endif %}

),

routes as (

    select * from {{ ref('stg_routes') }}

),

vessels as (

    select * from {{ ref('stg_vessels') }}

),

loads as (

    select * from {{ ref('int_sailing_loads') }}

),

weather as (

    select * from {{ ref('int_sailing_weather') }}

)

select
    sailings.sailing_id,
    sailings.sailing_date,
    sailings.route_code,
    routes.route_name,
    sailings.vessel_code,
    sailings.scheduled_departure,
    sailings.is_cancelled,
    date_diff(
        'minute',
        sailings.scheduled_departure + to_minutes(routes.scheduled_minutes),
        sailings.actual_arrival
    ) as minutes_late,
    minutes_late <= {{ var('punctual_within_minutes') }} as is_punctual,
    weather.wind_ms,
    weather.wind_band,
    coalesce(loads.passengers, 0) as passengers,
    vessels.passenger_capacity,
    coalesce(loads.lane_metres, 0) as lane_metres,
    vessels.lane_metres as lane_metres_capacity,
    coalesce(loads.revenue_eur, 0)::decimal(12, 2) as revenue_eur,
    sailings.landed_at
from sailings
inner join routes on sailings.route_code = routes.route_code
inner join vessels on sailings.vessel_code = vessels.vessel_code
left join loads on sailings.sailing_id = loads.sailing_id
left join weather on sailings.sailing_id = weather.sailing_id
