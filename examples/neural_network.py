"""Which network reads handwritten digits best? 81 small ones are trained and compared.

The data are scikit-learn's copy of the UCI digits: 1,797 images of 8 x 8 pixels, which ship with the package.
The network is plain NumPy. The sweep prefers the night; to run it now::

    SCIFLOW_POLICY=immediate python examples/neural_network.py
"""
# ruff: noqa: E402  # the three functions come first, so that the sweep below reads as one piece

from __future__ import annotations

import itertools
import math
from typing import TypedDict

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

EPOCHS = 20
BATCH_SIZE = 32
MOMENTUM = 0.9
# keeps a run with too large a learning rate finite; one that learns seldom meets it
MAX_GRADIENT_NORM = 5.0
N_CLASSES = 10

Layer = tuple[np.ndarray, np.ndarray]


class Digits(TypedDict):
    """Standardised images, shape (n, 64), float32, with their digits, shape (n,)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray


class Model(TypedDict):
    """A trained network, with the images that it has not seen."""

    layers: list[Layer]
    validation_images: np.ndarray
    validation_labels: np.ndarray


def preprocess_function() -> Digits:
    """Digits in two parts, 70 % to train and 30 % to validate, the same split at every call.

    Each pixel has mean 0 and variance 1 over the training part; the validation part plays no role in that.
    """
    images, labels = load_digits(return_X_y=True)
    train_images, validation_images, train_labels, validation_labels = train_test_split(
        images, labels, test_size=0.3, stratify=labels, random_state=0
    )
    scaler = StandardScaler().fit(train_images)
    return Digits(
        train_images=scaler.transform(train_images).astype(np.float32),
        train_labels=train_labels,
        validation_images=scaler.transform(validation_images).astype(np.float32),
        validation_labels=validation_labels,
    )


def train_function(  # noqa: PLR0917  # a task names the parameters that it uses
    data: Digits,
    learning_rate: float,
    hidden_layers: int,
    neurons_per_layer: int,
    dropout_rate: float,
    context: sciflow.TaskContext,
) -> Model:
    """A multilayer perceptron after `EPOCHS` epochs of stochastic gradient descent with momentum.

    Parameters
    ----------
    data : Digits
    learning_rate : float
    hidden_layers : int
        At least 1.
    neurons_per_layer : int
        In each hidden layer.
    dropout_rate : float
        The fraction of hidden activations dropped in training, in [0, 1).
    context : sciflow.TaskContext
        Its `rng` draws the first weights, the order of the images and the dropout.
    """
    rng = context.rng
    images, labels = data["train_images"], data["train_labels"]
    layers = initial_layers([images.shape[1], *[neurons_per_layer] * hidden_layers, N_CLASSES], rng)
    velocities = [(np.zeros_like(weights), np.zeros_like(bias)) for weights, bias in layers]
    # products this small gain nothing from a second thread, and on a busy machine lose much by waiting for it
    with threadpool_limits(limits=1):
        for _ in range(EPOCHS):
            order = rng.permutation(len(labels))
            # the last, incomplete batch is left out: every step averages over as many images
            for start in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
                batch = order[start : start + BATCH_SIZE]
                masks = dropout_masks(hidden_layers, (BATCH_SIZE, neurons_per_layer), dropout_rate, rng)
                _, gradients = loss_and_gradients(layers, images[batch], labels[batch], masks)
                descend(layers, velocities, gradients, learning_rate)
    return Model(
        layers=layers,
        validation_images=data["validation_images"],
        validation_labels=data["validation_labels"],
    )


def evaluate_function(model: Model) -> dict[str, float]:
    """Accuracy (0 to 1) and mean cross-entropy (nats) on the validation images, without dropout."""
    labels = model["validation_labels"]
    _, logits = forward(model["layers"], model["validation_images"])
    log_probabilities = log_softmax(logits)
    return {
        "validation_accuracy": float(np.mean(log_probabilities.argmax(axis=1) == labels)),
        "validation_loss": float(-np.mean(log_probabilities[np.arange(len(labels)), labels])),
    }


def initial_layers(sizes: list[int], rng: np.random.Generator) -> list[Layer]:
    """Weights of variance 2 / n_in, which keeps the scale of activations (He et al. 2015); biases 0."""
    return [
        (
            rng.standard_normal((n_in, n_out), dtype=np.float32) * np.float32(np.sqrt(2 / n_in)),
            np.zeros(n_out, dtype=np.float32),
        )
        for n_in, n_out in itertools.pairwise(sizes)
    ]


def dropout_masks(n: int, shape: tuple[int, int], rate: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Factors 0 with probability `rate`, else 1 / (1 - rate): means stay, so validation needs no correction.

    Inverted dropout, after Srivastava et al. 2014.
    """
    keep = np.float32(1 - rate)
    return [(rng.random(shape, dtype=np.float32) < keep) / keep for _ in range(n)]


def forward(
    layers: list[Layer], images: np.ndarray, masks: list[np.ndarray] | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Inputs of every layer, and the logits, shape (n, classes)."""
    inputs = [images]
    for number, (weights, bias) in enumerate(layers[:-1]):
        activation = np.maximum(inputs[-1] @ weights + bias, 0)
        inputs.append(activation if masks is None else activation * masks[number])
    weights, bias = layers[-1]
    return inputs, inputs[-1] @ weights + bias


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the class probabilities, row by row, without overflow."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def loss_and_gradients(
    layers: list[Layer], images: np.ndarray, labels: np.ndarray, masks: list[np.ndarray]
) -> tuple[float, list[Layer]]:
    """Mean cross-entropy of a batch and its derivative by every weight and bias (backpropagation)."""
    inputs, logits = forward(layers, images, masks)
    log_probabilities = log_softmax(logits)
    rows = np.arange(len(labels))
    loss = float(-np.mean(log_probabilities[rows, labels]))

    delta = np.exp(log_probabilities)
    delta[rows, labels] -= 1
    delta /= len(labels)
    gradients: list[Layer] = []
    for number in reversed(range(len(layers))):
        gradients.append((inputs[number].T @ delta, delta.sum(axis=0)))
        if number > 0:
            # a unit that ReLU or dropout silenced passes nothing back
            delta = (delta @ layers[number][0].T) * masks[number - 1] * (inputs[number] > 0)
    return loss, gradients[::-1]


def descend(layers: list[Layer], velocities: list[Layer], gradients: list[Layer], learning_rate: float) -> None:
    """One step with momentum, in place: both `layers` and `velocities` change."""
    step = learning_rate * clipping_factor(gradients)
    for layer, velocity, gradient in zip(layers, velocities, gradients, strict=True):
        for array, speed, slope in zip(layer, velocity, gradient, strict=True):
            np.multiply(speed, MOMENTUM, out=speed)
            np.subtract(speed, step * slope, out=speed)
            np.add(array, speed, out=array)


def clipping_factor(gradients: list[Layer]) -> float:
    """Factor that brings the gradients' common norm to at most `MAX_GRADIENT_NORM` (Pascanu et al. 2013)."""
    norm = math.sqrt(sum(float(np.vdot(array, array)) for layer in gradients for array in layer))
    return MAX_GRADIENT_NORM / max(norm, MAX_GRADIENT_NORM)


# fmt: off
import sciflow

workflow = sciflow.ExperimentalWorkflow("neural_network_training")

workflow.add_task("preprocess_data", preprocess_function)
workflow.add_task("train_model", train_function, depends_on=["preprocess_data"])
workflow.add_task("evaluate_model", evaluate_function, depends_on=["train_model"])

workflow.add_parameter_space({
    "learning_rate": [0.001, 0.01, 0.1],
    "hidden_layers": [1, 2, 3],
    "neurons_per_layer": [64, 128, 256],
    "dropout_rate": [0.1, 0.3, 0.5],
})

workflow.set_resource_requirements({
    "train_model": {"cpu_cores": 4, "memory_gb": 8, "gpu": True, "max_runtime_hours": 12},
})

workflow.set_scheduling_policy("off_peak", {
    "preferred_hours": "22:00-08:00", "weekend_preferred": True, "max_wait_hours": 48,
})

workflow.add_visualization("accuracy_vs_parameters", {
    "type": "heatmap", "x_axis": "learning_rate", "y_axis": "hidden_layers",
    "value": "validation_accuracy", "facet_by": ["dropout_rate"],
})

engine = sciflow.Engine()
results = engine.execute_parameter_sweep(workflow)

package = sciflow.create_reproducibility_package(workflow, results, package_name="neural_net_experiment_v1")
package.export("packages")

best_params = results.find_optimal_parameters("validation_accuracy", maximize=True)
print(f"Best parameters: {best_params}")
print(f"Best accuracy: {results.get_metric(best_params, 'validation_accuracy')}")

results.plot("accuracy_vs_parameters").savefig("accuracy_vs_parameters.png")
print("Heatmap: accuracy_vs_parameters.png")
print("Results file: sweeps/neural_network_training/results.h5")
