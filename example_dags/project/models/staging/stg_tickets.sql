select
    ticket_id,
    sailing_id,
    fare_code,
    quantity,
    amount_eur,
    channel,
    sold_at,
    refunded_at,
    refunded_at is not null as is_refunded,
    landed_at
from {{ source('landing', 'tickets') }}
