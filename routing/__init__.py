"""Where work goes and when a provider may be called: queues, lanes, limits, pools of keys.

Knows neither Flask nor Celery's tasks; of `app` it uses the settings and the errors.
"""
