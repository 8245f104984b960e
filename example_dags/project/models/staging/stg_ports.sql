select
    port_code,
    port_name,
    island,
    exposure,
    dues_per_call
from {{ ref('ports') }}
