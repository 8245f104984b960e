select
    sold_at::date as sale_date,
    channel,
    fare_code,
    fare_name,
    fare_group,
    sum(quantity)::integer as tickets,
    coalesce(sum(quantity) filter (where is_refunded), 0)::integer as refunded,
    sum(revenue_eur)::decimal(12, 2) as revenue_eur
from {{ ref('int_tickets_sold') }}
group by all
