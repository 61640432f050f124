"""Random graphs as Hypothesis strategies, and the properties that must hold for each of them.

    @given(graphs(using="fusion.difference"))
    def test_my_fusion_in_any_graph(graph):
        plan_is_true(graph)

A component alone is checked in `checks`. How many graphs fusionkit's own tests draw is set in `tests/properties`.
"""
