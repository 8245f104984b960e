{#- A tariff is typed in by hand. What is no number fails the model if `strict_tariffs` says so. -#}
{% macro tariff(column) -%}
    {{ 'cast' if var('strict_tariffs') else 'try_cast' }}({{ column }} as decimal(9, 2))
{%- endmacro %}
