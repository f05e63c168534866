"""The sentence in the texts of real errors: of Keras 2.6, 2.11 and 3.15, TensorFlow 2.6, 2.11 and 2.21, numpy."""

import pytest

from flq.reasons import named_reason, reason_of, sentence_of

NODES = """Detected at node 'sequential/embedding/embedding_lookup' defined at (most recent call last):
    File "texts.py", line 24, in <module>
      show("graph embedding", lambda: f(tf.constant(X*99)))
    File "/venv/lib/python3.8/site-packages/keras/layers/core/embedding.py", line 208, in call
      out = tf.nn.embedding_lookup(self.embeddings, inputs)
"""
INDEX = "indices[0,0] = 99 is not in [0, 10)"
NODE = "\n\t [[{{node sequential/embedding/embedding_lookup}}]] [Op:__inference_f_104]"
ASSERTS = (
    'in user code:\n\n    File "texts.py", line 15, in call  *\n        assert x.shape[-1]==99\n\n    AssertionError: '
)
NO_ATTRIBUTE = "'Tensor' object has no attribute 'nothing_like_this'"

# (text, the sentence in it)
TEXTS = [
    ("a plain sentence", "a plain sentence"),
    # Keras 3, a layer called eagerly
    (
        "Exception encountered when calling Embedding.call().\n\n\x1b[1m{{function_node __wrapped__GatherV2_device_"
        "/job:localhost/replica:0/task:0/device:CPU:0}} " + INDEX + " [Op:GatherV2]\x1b[0m\n\nArguments received by "
        "Embedding.call():\n  • inputs=tf.Tensor(shape=(2, 64), dtype=float32)",
        "Embedding.call(): " + INDEX,
    ),
    (
        "Exception encountered when calling MaxPooling2D.call().\n\n\x1b[1mComputed output size would be zero or "
        "negative. Received: `inputs.shape=[None 2 1 1]`.\x1b[0m\n\nArguments received by MaxPooling2D.call():\n"
        "  • args=('<KerasTensor shape=(None, 2, 1, 1)>',)\n  • kwargs=<class 'inspect._empty'>",
        "MaxPooling2D.call(): Computed output size would be zero or negative. Received: `inputs.shape=[None 2 1 1]`.",
    ),
    # Keras 2.11
    (
        "Exception encountered when calling layer 'embedding' (type Embedding).\n\n{{function_node __wrapped__Resource"
        "Gather_device_/job:localhost/replica:0/task:0/device:CPU:0}} " + INDEX + " [Op:ResourceGather]\n\nCall "
        "arguments received by layer 'embedding' (type Embedding):\n  • inputs=tf.Tensor(shape=(2, 64))",
        "layer 'embedding': " + INDEX,
    ),
    (
        'Exception encountered when calling layer "tf.reshape" (type TFOpLambda).\n\nDimension 1 must be 3.\n\nCall '
        'arguments received by layer "tf.reshape" (type TFOpLambda):\n  • tensor=None',
        'layer "tf.reshape": Dimension 1 must be 3.',
    ),
    # TensorFlow, a call outside a function
    (INDEX + " [Op:ResourceGather]", INDEX),
    (
        "{{function_node __wrapped____MklMatMul_device_/job:localhost/replica:0/task:0/device:CPU:0}} Matrix "
        "size-incompatible: In[0]: [2,3], In[1]: [2,3] [Op:MatMul] name: ",
        "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3]",
    ),
    (
        "{{function_node __wrapped__Fill_device_/job:localhost/replica:0/task:0/device:GPU:0}} OOM when allocating "
        "tensor with shape[1048576,1048576,64] and type float on /job:localhost/replica:0/task:0/device:GPU:0 by "
        "allocator GPU_0_bfc [Op:Fill] name: ",
        "OOM when allocating tensor with shape[1048576,1048576,64] and type float on "
        "/job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc",
    ),
    (
        "OOM when allocating tensor with shape[64,32,32,64] and type float on /job:localhost/replica:0/task:0/device:"
        "GPU:0 by allocator GPU_0_bfc\n\t [[node sequential/conv2d/Relu (defined at m.py:4) ]]\nHint: If you want to "
        "see a list of allocated tensors when OOM happens, add report_tensor_allocations_upon_oom to RunOptions.\n"
        " [Op:__inference_train_900]\n\nFunction call stack:\ntrain\n",
        "OOM when allocating tensor with shape[64,32,32,64] and type float on "
        "/job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc",
    ),
    # TensorFlow, in a function: 2.6, 2.11, 2.21
    (
        " " + INDEX + "\n\t [[node sequential/embedding/embedding_lookup (defined at texts.py:22) ]] [Op:__inference_f"
        "_96]\n\nErrors may have originated from an input operation.\nInput Source operations connected to node "
        "sequential/embedding/embedding_lookup:\n sequential/embedding/embedding_lookup/82 (defined at contextlib.py:"
        "81)\n\nFunction call stack:\nf\n",
        INDEX,
    ),
    ("Graph execution error:\n\n" + NODES + "Node: 'sequential/embedding/embedding_lookup'\n" + INDEX + NODE, INDEX),
    (
        "Graph execution error:\n\nDetected at node sequential_1/embedding_1/GatherV2 defined at (most recent call last"
        '):\n  File "texts.py", line 24, in <module>\n\n  File "/venv/lib/python3.11/site-packages/keras/src/layers/'
        'layer.py", line 1002, in __call__\n\n' + INDEX + NODE,
        INDEX,
    ),
    (
        "Graph execution error:\n\nDetected at node mlp/dense_1/MatMul defined at (most recent call last):\n<stack "
        "traces unavailable>\nMatrix size-incompatible: In[0]: [2,3], In[1]: [2,3]" + NODE,
        "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3]",
    ),
    (
        "Graph execution error:\n\n" + NODES + "Node: 'sequential/conv2d/Conv2D'\n2 root error(s) found.\n  (0) "
        "UNIMPLEMENTED:  DNN library is not found.\n\t [[{{node sequential/conv2d/Conv2D}}]]\n  (1) "
        "CANCELLED:  Function"
        " was cancelled before it was started\n0 successful operations.\n0 derived errors ignored. [Op:__inference_1]",
        "DNN library is not found.",
    ),
    (
        "2 root error(s) found.\n  (0) Unknown:  Failed to get convolution algorithm. This is probably because cuDNN "
        "failed to initialize, so try looking to see if a warning log message was printed above.\n\t [[node a/Conv2D "
        "(defined at m.py:4) ]]\n\t [[b]]\n  (1) Unknown:  the same\n0 successful operations.",
        "Failed to get convolution algorithm. This is probably because cuDNN failed to initialize, so try looking to "
        "see if a warning log message was printed above.",
    ),
    (
        "{{function_node __inference_<lambda>_616}} bad gradient : Tensor had Inf values\n\t [[{{node CheckNumerics}}]]"
        " [Op:__inference_<lambda>_616]",
        "bad gradient : Tensor had Inf values",
    ),
    (
        "{{function_node __inference_f_624}} ZeroDivisionError: division by zero\nTraceback (most recent call last):\n"
        '\n  File "/venv/lib/python3.11/site-packages/tensorflow/python/ops/script_ops.py", line 267, in __call__\n'
        "    return func(device, token, args)\n\nZeroDivisionError: division by zero\n\n\n\t [[{{node EagerPyFunc}}]]",
        "ZeroDivisionError: division by zero",
    ),
    # AutoGraph: 2.6, 2.11 (nested), 2.21
    (
        "in user code:\n\n    texts.py:34 None  *\n        lambda x: b(x))(tf.constant(X)))\n    texts.py:9 call  *\n"
        "        def call(self,x): return x.nothing_like_this\n    "
        "/venv36/lib/python3.6/site-packages/tensorflow/python/"
        "framework/ops.py:401 __getattr__\n        self.__getattribute__(name)\n\n    AttributeError: " + NO_ATTRIBUTE,
        NO_ATTRIBUTE,
    ),
    (
        'in user code:\n\n    File "texts.py", line 34, in None  *\n        lambda x: b(x)\n    File '
        '"/venv/lib/python3.8'
        '/site-packages/keras/utils/traceback_utils.py", line 70, in error_handler  **\n        raise e.with_traceback('
        "filtered_tb) from None\n\n    AttributeError: Exception encountered when calling layer 'bad' (type "
        "Bad).\n    \n"
        '    in user code:\n    \n        File "texts.py", line 9, in call  *\n            def call(self,x): return x.n'
        "\n    \n        AttributeError: " + NO_ATTRIBUTE + "\n    \n    \n    Call arguments received by layer 'bad' "
        "(type Bad):\n      • x=tf.Tensor(shape=(2, 8, 8, 1), dtype=float32)\n",
        "layer 'bad': " + NO_ATTRIBUTE,
    ),
    (
        'in user code:\n\n    File "texts.py", line 47, in None  *\n        lambda a,b: tf.matmul(a,b)\n\n  '
        "  ValueError:"
        " Dimensions must be equal, but are 3 and 2 for '{{node MatMul}} = MatMul[T=DT_FLOAT, grad_a=false, "
        "grad_b=false"
        ", transpose_a=false, transpose_b=false](a, b)' with input shapes: [2,3], [2,3].\n",
        "Dimensions must be equal, but are 3 and 2 for MatMul with input shapes: [2,3], [2,3].",
    ),
    (
        "Negative dimension size caused by subtracting 5 from 3 for '{{node conv2d/Conv2D}} = Conv2D[T=DT_FLOAT, "
        'data_format="NHWC", dilations=[1, 1, 1, 1], explicit_paddings=[], padding="VALID", strides=[1, 1, 1, 1]]'
        "(Placeholder, conv2d/Conv2D/ReadVariableOp)' with input shapes: [?,3,3,1], [5,5,1,2].",
        "Negative dimension size caused by subtracting 5 from 3 for Conv2D with input shapes: [?,3,3,1], [5,5,1,2].",
    ),
    # several lines, the reason behind a colon
    (
        "A total of 1 objects could not be loaded. Example error message for object <Dense name=dense_7, "
        "built=True>:\n\n"
        "Layer 'dense_7' expected 2 variables, but received 0 variables during loading. Expected: "
        "['kernel', 'bias']\n\n"
        "List of objects that could not be loaded:\n[<Dense name=dense_7, built=True>]",
        "A total of 1 objects could not be loaded. Example error message for object <Dense name=dense_7, built=True>: "
        "Layer 'dense_7' expected 2 variables, but received 0 variables during loading. Expected: ['kernel', 'bias']",
    ),
    (
        "A KerasTensor cannot be used as input to a TensorFlow function. You are likely doing something "
        "like:\n\n```\nx ="
        " Input(...)\n```\n\nWhat you should do instead is wrap `tf_fn` in a layer:\n\n```\nclass "
        "MyLayer(Layer):\n```\n",
        "A KerasTensor cannot be used as input to a TensorFlow function. You are likely doing something like:",
    ),
    (
        "You called `set_weights(weights)` with a weight list of length 1. Provided weights: [array([[1., 1., 1.],\n"
        "       [1., 1., 1.],\n       ...",
        "You called `set_weights(weights)` with a weight list of length 1. Provided weights: [array([[1., 1., 1.], [1.,"
        " 1., 1.], ...",
    ),
    # imports
    (
        "Traceback (most recent call last):\n  File "
        '"/venv/lib/python3.8/site-packages/tensorflow/python/pywrap_tensorflo'
        'w.py", line 64, in <module>\n    from tensorflow.python._pywrap_tensorflow_internal import *\nImportError: '
        "libcublas.so.11: cannot open shared object file: No such file or directory\n\n\nFailed to load the native "
        "TensorFlow runtime.\nSee https://www.tensorflow.org/install/errors for some common causes and solutions.",
        "libcublas.so.11: cannot open shared object file: No such file or directory",
    ),
    (
        "\n\nIMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!\n\nImporting the numpy C-extensions "
        "failed.\n\nPlease note and check the following:\n\n  * The Python version is: "
        "Python3.6\n\nOriginal error was: "
        "libopenblas.so.0: cannot open shared object file: No such file or directory\n\n",
        "libopenblas.so.0: cannot open shared object file: No such file or directory",
    ),
]


@pytest.mark.parametrize("text, sentence", TEXTS)
def test_the_sentence_of_a_real_text(text, sentence):
    assert reason_of(ValueError(text)) == sentence
    assert sentence.endswith(sentence_of(text)) and sentence_of(text)


@pytest.mark.parametrize("text", [text for text, _ in TEXTS])
def test_windows_line_ends_and_blank_lines_around_change_nothing(text):
    assert reason_of(ValueError("\n\n" + text.replace("\n", "\r\n") + "\n\n")) == reason_of(ValueError(text))


def raised(error, cause=None):
    """The error with its traceback."""
    try:
        raise error from cause
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\x1b[1m\x1b[0m"])
def test_without_a_text_it_is_class_and_place(text):
    assert reason_of(MemoryError(text)) == "MemoryError"
    assert reason_of(raised(AssertionError(text))).startswith("AssertionError in test_reasons.py, line ")


def test_without_a_text_the_cause_comes_first():
    assert reason_of(raised(RuntimeError(""), ValueError("no weights here"))) == "no weights here"


@pytest.mark.parametrize(
    "text, reason",
    [
        (ASSERTS + "\n", "AssertionError in texts.py, line 15"),
        (
            "Exception encountered when calling Asserts.call().\n\n\x1b[1m\x1b[0m\n\nArguments received by "
            "Asserts.call()"
            ":\n  • x=1",
            "Asserts.call(): AssertionError",
        ),
    ],
)
def test_an_assertion_without_a_text_in_a_model_says_where_it_is(text, reason):
    assert reason_of(AssertionError(text)) == reason


def test_a_missing_key_is_called_so():
    assert reason_of(KeyError("dense_1")) == named_reason(KeyError("dense_1")) == "KeyError: 'dense_1'"


def test_the_class_is_named_once():
    assert named_reason(ValueError("no room\nand more")) == "ValueError: no room and more"
    assert named_reason(MemoryError()) == "MemoryError"


def test_a_reason_is_one_line_of_bounded_length():
    reason = reason_of(ValueError("word " * 1000 + "\n" + "end"))
    assert len(reason) <= 400 and reason.endswith(" ...") and "\n" not in reason


@pytest.mark.parametrize(
    "text", ["in user code:", "Graph execution error:", "Exception encountered when calling", "\x00"]
)
def test_a_heading_alone_still_gives_something(text):
    for end in ("", "\n", "\n\n    ", "\n\nArguments received by x"):
        assert reason_of(RuntimeError(text + end)).strip()
