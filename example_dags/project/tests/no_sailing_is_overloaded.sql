-- The certificate is not a suggestion.
select
    sailing_id,
    passengers,
    passenger_capacity,
    lane_metres,
    lane_metres_capacity
from {{ ref('sailings') }}
where passengers > passenger_capacity or lane_metres > lane_metres_capacity
