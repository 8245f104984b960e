select
    sailing_id,
    route_code,
    vessel_code,
    scheduled_departure,
    scheduled_departure::date as sailing_date,
    actual_departure,
    actual_arrival,
    status,
    status = 'cancelled' as is_cancelled,
    landed_at
from {{ source('landing', 'sailings') }}
