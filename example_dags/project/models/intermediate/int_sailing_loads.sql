select
    sailing_id,
    sum(passengers)::integer as passengers,
    sum(lane_metres)::integer as lane_metres,
    sum(revenue_eur)::decimal(12, 2) as revenue_eur
from {{ ref('int_tickets_sold') }}
group by sailing_id
