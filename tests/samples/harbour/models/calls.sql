select unnest(range(timestamp '2025-03-01', timestamp '2025-03-04', interval 6 hour)) as called_at
