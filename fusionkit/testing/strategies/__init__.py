"""Hypothesis strategies over all that a graph is made of: shapes, options, inputs of a rule, and whole graphs.

    @given(graphs(using="fusion.difference"))
    def test_my_fusion_in_any_graph(graph):
        plan_is_true(graph)
"""
