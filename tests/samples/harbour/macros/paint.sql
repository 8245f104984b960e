{% macro paint(ship) %}{% do log('painting ' ~ ship, info=true) %}{% endmacro %}
