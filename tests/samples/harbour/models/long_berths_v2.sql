select berth from {{ ref('berths') }} where length_m > 50
