select
    wind_band,
    count(*)::integer as sailings,
    count_if(is_cancelled)::integer as cancelled,
    {{ percent('count_if(is_cancelled)', 'count(*)') }} as cancelled_pct,
    round(avg(minutes_late), 1) as mean_minutes_late,
    {{ percent('count_if(is_punctual)', 'count_if(not is_cancelled)') }} as punctual_pct
from {{ ref('sailings') }}
group by wind_band
