"""The probes of ``doctor``, its report and its support bundle.

==================  ========================================================================
``surroundings``    what is known before anybody is asked: settings, environment, network
``service``         the metadata service itself
``agent``           a running agent, over HTTP or through the API server
``cluster``         the API server: the Node, rights, a dry run
``examination``     one examination: whom to ask, in which order
``report``          the result as text and JSON
``bundle``          a support bundle without secrets
==================  ========================================================================
"""
