{{
    config(
        pre_hook=[
            {'sql': '{{ count_attempt() }}', 'transaction': false},
            '{{ lose_connection() }}',
        ],
    )
}}

with sailings as (

    select * from {{ ref('sailings') }}
    where not is_cancelled

),

routes as (

    select * from {{ ref('stg_routes') }}

),

ports as (

    select * from {{ ref('stg_ports') }}

)

select
    ports.port_code,
    ports.port_name,
    sailings.route_code,
    sailings.sailing_date,
    count(*)::integer as calls,
    {{ tariff('ports.dues_per_call') }} as dues_per_call_eur,
    (count(*) * dues_per_call_eur)::decimal(12, 2) as dues_eur
from sailings
inner join routes on sailings.route_code = routes.route_code
inner join ports on routes.destination_port = ports.port_code
group by
    ports.port_code,
    ports.port_name,
    ports.dues_per_call,
    sailings.route_code,
    sailings.sailing_date
