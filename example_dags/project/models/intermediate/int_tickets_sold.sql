with tickets as (

    select * from {{ ref('stg_tickets') }}

),

fares as (

    select * from {{ ref('stg_fares') }}

)

select
    tickets.ticket_id,
    tickets.sailing_id,
    tickets.fare_code,
    fares.fare_name,
    fares.fare_group,
    tickets.channel,
    tickets.sold_at,
    tickets.quantity,
    tickets.is_refunded,
    case when tickets.is_refunded then 0 else tickets.quantity * fares.seats end as passengers,
    case when tickets.is_refunded then 0 else tickets.quantity * fares.lane_metres end as lane_metres,
    case when tickets.is_refunded then 0 else tickets.amount_eur end as revenue_eur
from tickets
inner join fares on tickets.fare_code = fares.fare_code
