"""Thousands of agents on one real API server: what a fleet costs it, and other clients.

``make bench-fleet``. The product's own publishing code runs for every Node, each with an identity and
connections of its own, in one process; kubelets, other clients and watchers are processes beside it.

==============  ==========================================================================
``population``  Nodes as in a cluster, the chart's rights and policy, a token for each Node
``pace``        how much faster than in a cluster time runs, and the agents' settings by it
``agents``      one agent: state, publisher, frame, connection
``fleet``       all of them: started, stopped, told what the metadata service says
``others``      the processes beside: kubelets, other clients, watchers
``meters``      what a scenario cost
``scenarios``   what happens to a cluster
``report``      tables, and the recorded figures
``plot``        the picture of the documentation
==============  ==========================================================================
"""
