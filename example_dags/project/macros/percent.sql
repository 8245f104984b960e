{% macro percent(part, whole) -%}
    round(100.0 * ({{ part }}) / nullif({{ whole }}, 0), 1)
{%- endmacro %}
