"""What the agents of a cluster published, seen all at once: for ``nodes`` and ``rules``.

=============  ==========================================================================
``published``  a Node's annotations read back; they are never trusted
``row``        a Node, its agent and its annotations, and what that is worth now
``egress``     what the nodes leave from, together: the list to allow, and what is not known
``frontends``  inbound rules over all nodes: who has them, who misses them, whose Service
``ages``       how long ago, for people
=============  ==========================================================================
"""
