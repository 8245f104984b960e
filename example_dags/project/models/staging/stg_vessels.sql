select
    vessel_code,
    vessel_name,
    built_year,
    passenger_capacity,
    lane_metres,
    fuel_litres_per_nm
from {{ ref('vessels') }}
