"""An imitation of the Dataloop service on loopback, for the unmodified dtlpy to talk to.

``server.gateway()`` starts one, ``state.State`` is what it knows, ``client.logged_in`` is dtlpy logged in to it. It is
made from dtlpy's own source: it shows that the client accepts what we do, and says nothing of the service itself.
"""
