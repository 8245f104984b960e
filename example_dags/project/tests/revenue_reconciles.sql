-- A sailing and its tickets tell of the same money: no ticket is lost on the way, none is counted twice.
with sailings as (

    select
        sailing_id,
        revenue_eur
    from {{ ref('sailings') }}

),

loads as (

    select
        sailing_id,
        revenue_eur
    from {{ ref('int_sailing_loads') }}

)

select
    loads.sailing_id,
    sailings.revenue_eur as sailing_eur,
    loads.revenue_eur as tickets_eur
from loads
left join sailings on loads.sailing_id = sailings.sailing_id
where sailings.revenue_eur is distinct from loads.revenue_eur
