select
    port_code,
    observed_at,
    wind_ms,
    wave_height_m,
    landed_at
from {{ source('landing', 'weather') }}
