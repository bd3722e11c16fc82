"""Do rows depend on one another? A dataflow analysis over plain records of a graph.

    records    what a graph is here: nodes, inputs, constants; and the verdict
    sizes      sizes with symbols: 12*rows, rows*s1
    values     what is known of a tensor: which dimension the rows lie in, or what mixed them
    rules      for each operator, how what it gives follows from what it reads
    walk       `judge`: node by node through a graph, to a verdict
    from_onnx  an ONNX model's graph as records

The rows are one axis of the inputs: the batch, which requests are joined along (`Mode.JOIN`), or an axis that
requests are padded along with zeros (`Mode.PAD`). A proof says that what an output holds for a row follows
from that row alone (JOIN), or that nothing that is kept follows from padding (PAD). What no rule knows is
never proved.
"""
