{#-
    Two hooks that make a model fail on its first, third, fifth … attempt, for trying out retries. The count
    is made outside the model's transaction, or the failure would take it back.
-#}
{% macro count_attempt() %}
    {% if var('lose_first_connection') %}
        create table if not exists {{ target.schema }}.attempts as select 0 as attempt;
        update {{ target.schema }}.attempts set attempt = attempt + 1;
    {% endif %}
{% endmacro %}

{% macro lose_connection() %}
    {% if var('lose_first_connection') %}
        select error('connection to the tariff service was lost')
        from {{ target.schema }}.attempts
        where attempt % 2 = 1
    {% endif %}
{% endmacro %}
