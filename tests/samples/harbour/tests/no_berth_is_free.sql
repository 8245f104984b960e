select berth from {{ ref('port_dues') }} where dues_eur = 0
