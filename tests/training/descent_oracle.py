"""An independent float64 version of local training, from the papers, to compare the trainers with."""

import numpy as np


def descend(slope, start, batches, lr, optimizer="sgd", momentum=0.9, mu=0.0):
    """Take a step per batch; return (start minus end, mean loss before each step).

    ``slope(x, batch)`` is (loss, gradient) at the float64 vector x.
    """
    start = start.astype(np.float64)
    x, losses = start.copy(), []
    velocity, mean, mean_sq = (np.zeros_like(x) for _ in range(3))
    for t, batch in enumerate(batches, start=1):
        loss, gradient = slope(x, batch)
        losses.append(loss + 0.5 * mu * np.sum((x - start) ** 2))
        gradient = gradient + mu * (x - start)
        if optimizer == "sgd":
            x = x - lr * gradient
        elif optimizer == "momentum":
            velocity = momentum * velocity + gradient
            x = x - lr * velocity
        else:  # Kingma and Ba 2015, before section 2.1
            mean = 0.9 * mean + 0.1 * gradient
            mean_sq = 0.999 * mean_sq + 0.001 * gradient**2
            x = x - lr * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * mean / (np.sqrt(mean_sq) + 1e-7)
    return start - x, float(np.mean(losses))


def dense_slope(vector, layout, x, y, l2=0.0):
    """Loss and gradient of logreg's and mlp's mean cross-entropy plus l2/2 |v|^2, by the chain rule in float64."""
    arrays, start = [], 0
    for tensor in layout.tensors:
        arrays.append(np.asarray(vector[start : start + tensor.size], np.float64).reshape(tensor.shape))
        start += tensor.size
    inputs = [x.reshape(len(x), -1).astype(np.float64)]
    for i in range(0, len(arrays) - 2, 2):
        inputs.append(np.maximum(inputs[-1] @ arrays[i] + arrays[i + 1], 0))
    logits = inputs[-1] @ arrays[-2] + arrays[-1]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean() + 0.5 * l2 * np.sum(np.square(vector, dtype=np.float64))

    gradients, d_output = [], (p - np.eye(logits.shape[1])[y]) / len(y)
    for i in range(len(arrays) - 2, -1, -2):
        layer_input = inputs[i // 2]
        gradients = [layer_input.T @ d_output, d_output.sum(axis=0)] + gradients
        d_output = (d_output @ arrays[i].T) * (layer_input > 0)
    return loss, np.concatenate([gradient.ravel() for gradient in gradients]) + l2 * np.asarray(vector, np.float64)
