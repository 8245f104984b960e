select
    fare_code,
    fare_name,
    fare_group,
    price_eur,
    seats,
    lane_metres
from {{ ref('fares') }}
