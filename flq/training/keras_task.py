"""Trains and evaluates a Keras model for classification, for any number of workers in one process."""

from typing import Dict, List, Optional, Set, Tuple

import numpy as np

from ..core import rng
from ..core.held_back import HeldBack
from ..core.layout import Layout, Vector
from ..core.schedule import learning_rate
from ..core.settings import Settings
from ..errors import OutOfMemory
from .custom_model import parse_model_name
from .datasets import Dataset, dataset_source, load_dataset, require_own_files
from .keras_batches import on_host
from .keras_export import save_model
from .keras_memory import is_out_of_memory
from .keras_network import Network
from .keras_setup import Device, import_tensorflow, set_up_tensorflow
from .keras_steps import log_prior
from .keras_weights import seed_random_layers
from .models import is_custom, model_layout
from .partition import LOCAL, WorkerSamples, no_samples, partition, worker_share
from .task import LocalUpdate, Metrics, Task

MOST_NAMES = 6  # of unused tensors in a note


class KerasShare:
    """One worker's samples, and its state between rounds.

    Attributes
    ----------
    n_samples : int
    network : Network
        Trains on the samples; one for all shares of a task.
    brought : tuple of tf.Tensor
        The arguments of ``keras_steps.worker_specs``, in the host's memory.
    prior : ndarray of shape (n_classes,), float32, or None
        Added to the logits in training.
    held_x, held_y : ndarray
        Held out for evaluation, may be empty.
    batch_size : int
        Halved once if the device has too little memory.
    counters : list of ndarray
        The values of the model's integer variables, which are in no vector.
    """

    def __init__(
        self, network: Network, worker_id: int, samples: WorkerSamples, scale: float, settings: Settings
    ) -> None:
        self.n_samples, self.network, self.worker_id = len(samples.x), network, worker_id
        self.brought = on_host(samples.x), on_host(samples.y.astype(np.int32)), on_host(scale, "float32")
        self.prior = log_prior(samples.y, network.n_classes, settings.model.logit_adjustment)
        self.held_x, self.held_y, self.scale = samples.held_x, samples.held_y, scale
        self.batch_size = min(settings.dataset.batch_size or self.n_samples, self.n_samples)
        self.was_halved = False
        self.counters = network.counters()


class KerasTask(Task):
    """A built-in model, or a user's own, on a labelled data set.

    The result of a round depends on (settings, worker id, shared vector, round) only: the state of a
    local optimizer is reset in each round, and the samples' order and the random layers of a user's own
    model are seeded. (Before Keras 3 random layers cannot be seeded.) There is one exception: the first
    time that the device has too little memory, a worker's batch size is halved for all later rounds, and
    the round is trained again.

    With ``dataset.partition`` local only the workers have data: the master has no test set.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._takes_steps = settings.flq_algorithm.update == "delta"
        self._is_local = settings.dataset.partition == LOCAL
        self._set_up: Optional[Device] = None
        self._networks: Dict[bool, Network] = {}
        self._dealt: Optional[Tuple[Dataset, List[np.ndarray]]] = None
        self._master: Optional[KerasShare] = None
        self._told: Set[str] = set()  # activations and unused tensors that are in the notes

    @property
    def layout(self) -> Layout:  # type: ignore[override]
        """Return the layout of the model; a user's own model is built for it, which loads TensorFlow."""
        for network in self._networks.values():
            return network.layout
        if is_custom(self.settings.model.name):
            return self._network(False).layout
        return model_layout(self.settings)

    def check(self) -> None:
        """Raise DataError if the settings are invalid or there are too few training samples.

        With partition local samples are not checked, since only the workers have them. For a user's own model only
        the form of its name is checked.
        """
        if is_custom(self.settings.model.name):
            parse_model_name(self.settings.model.name)
        if self._is_local:
            require_own_files(self.settings)
            dataset_source(self.settings)
        else:
            self._partition(self._load().y_train)

    def start(self) -> Vector:
        """Return x^0: drawn from the seed, or the initial values of a user's own model."""
        if is_custom(self.settings.model.name):
            return self._network(False).start
        return rng.start_values(self.layout, self.settings.system.seed)

    def open(self, worker_id: Optional[int]) -> KerasShare:
        """Read the data, build the model if needed, and return the share of a worker or the master."""
        device = self._device()
        if worker_id is not None:
            dataset, shards = self._deal()
            samples = worker_share(dataset, shards, worker_id)
            return KerasShare(self._network(device.mixed), worker_id, samples, dataset.scale, self.settings)
        if self._master is None:
            samples, scale = no_samples(dataset_source(self.settings).input_shape), 1.0
            if not self._is_local:
                dataset = self._load()
                samples, scale = samples._replace(held_x=dataset.x_test, held_y=dataset.y_test), dataset.scale
            self._master = KerasShare(self._network(False), -1, samples, scale, self.settings)
        return self._master

    def train(self, share: KerasShare, shared: Vector, round_index: int) -> LocalUpdate:
        """Train from the shared copy; return the update. The round determines the samples' order and the rate.

        Raises
        ------
        OutOfMemory
            If the device has too little memory even for half a batch.
        """
        self._dealt = None  # frees memory: open shares have their samples
        while True:
            try:
                return self._train(share, shared, round_index)
            except Exception as error:
                if not is_out_of_memory(import_tensorflow().errors, error):
                    raise
            self._halve(share, round_index)

    def evaluate(self, vector: Vector, share: Optional[KerasShare] = None) -> Metrics:
        """Return mean cross-entropy and accuracy over all held-out samples."""
        share = share or self.open(None)
        if not len(share.held_y):
            return {}
        share.network.set(vector)
        return share.network.metrics(share.held_x, share.held_y, share.scale)

    def export(self, vector: Vector, path: str) -> None:
        """Write a Keras file, as :func:`keras_export.save_model`."""
        network = self._network(False)
        network.set(vector)
        save_model(network.model, path)

    def _device(self) -> Device:
        """Configure TensorFlow once; return its device."""
        if self._set_up is None:
            self._set_up = set_up_tensorflow(self.settings)
            self.notes += self._set_up.notes + [self._set_up.repeats]
        return self._set_up

    def _network(self, mixed: bool) -> Network:
        """Return the network that computes in float16 or float32; build it when first needed."""
        device = self._device()
        if mixed not in self._networks:
            self._networks[mixed] = Network(self.settings, dataset_source(self.settings), device, mixed)
            self.notes += [note for note in self._networks[mixed].remarks if note not in self.notes]
        return self._networks[mixed]

    def _deal(self) -> Tuple[Dataset, List[np.ndarray]]:
        """Return the data set and its partition; read once for all workers that open together."""
        if self._dealt is None:
            dataset = self._load()
            self._dealt = dataset, [] if self._is_local else self._partition(dataset.y_train)
        return self._dealt

    def _load(self) -> Dataset:
        """Read the data set, and remember what was seen."""
        dataset = load_dataset(self.settings)
        self.seen = dataset.seen
        return dataset

    def _partition(self, labels: np.ndarray) -> List[np.ndarray]:
        return partition(labels, self.settings)

    def _halve(self, share: KerasShare, round_index: int) -> None:
        """Halve the batch size, once."""
        size = share.batch_size
        if share.was_halved or size == 1:
            raise OutOfMemory(
                "the device has too little memory for a batch of %d" % size,
                "lower dataset.batch_size or jetson_optimization.gpu_memory_limit_mb, or end other "
                "programs on this device",
            )
        share.network.forget(size, share.prior)
        share.was_halved, share.batch_size = True, size // 2
        self.notes.append(
            "the device has too little memory for a batch of %d: from round %d on this worker trains "
            "with batches of %d" % (size, round_index, share.batch_size)
        )

    def _train(self, share: KerasShare, shared: Vector, round_index: int) -> LocalUpdate:
        network, batches = share.network, self._batches(share, round_index)
        network.set(shared, share.counters)
        seed_random_layers(network.model, self._stream(rng.LAYERS, share, round_index))
        held_back = self._held_back(share)
        function = network.function(share.brought[0], share.batch_size, share.prior)
        if self._takes_steps:
            loss = function(*share.brought, batches, learning_rate(self.settings.model, round_index))
            update = _moved(network, shared)
        else:
            loss, gradients = function(*share.brought, batches[0])
            update = _moved(network, shared)  # the forward pass changes the statistics
            for part, gradient in zip(network.layout.slices(), gradients):
                update[part] = gradient.numpy().ravel()
        share.counters = network.counters()
        self._note_traced(network)
        return LocalUpdate(update, float(loss), len(batches), held_back, batches.size)

    def _note_traced(self, network: Network) -> None:
        """Note once what tracing has shown about the model.

        A tensor without a gradient often belongs to a layer that the user forgot to connect.
        """
        if network.activation is not None and network.activation not in self._told:
            self._told.add(network.activation)
            self.notes.append(
                "the model ends in a %s: the loss is the cross-entropy of the logits before it"
                % network.activation.lower()
            )
        names = [name for name in network.unused() if name not in self._told]
        if not names:
            return
        self._told.update(names)
        more = " and %d more" % (len(names) - MOST_NAMES) if len(names) > MOST_NAMES else ""
        self.notes.append(
            "the loss does not depend on %s%s: %s"
            % (
                ", ".join(names[:MOST_NAMES]),
                more,
                "only weight decay (model.l2) changes its values" if self.settings.model.l2 else "it does not change",
            )
        )

    def _held_back(self, share: KerasShare) -> Optional[HeldBack]:
        """Return loss and accuracy on the held-out samples, or None without any."""
        if not len(share.held_y):
            return None
        metrics = share.network.metrics(share.held_x, share.held_y, share.scale)
        return HeldBack(metrics["loss"], metrics["accuracy"], len(share.held_y))

    def _stream(self, purpose: int, share: KerasShare, round_index: int) -> np.random.Philox:
        return rng.stream(self.settings.system.seed, purpose, round_index, share.worker_id)

    def _batches(self, share: KerasShare, round_index: int) -> np.ndarray:
        """Return the positions in the share of each step's batch.

        Each pass is a new random order, cut into full batches; the rest is not used in that pass. A
        share smaller than a batch is one batch. A gradient uses the first batch. Local training uses
        ``local_steps`` batches, from as many passes as needed, or ``local_epochs`` passes if
        ``local_steps`` is 0.

        Returns
        -------
        ndarray of shape (n_steps, batch), int32
        """
        model, size = self.settings.model, share.batch_size
        n_per_pass = share.n_samples // size
        n_steps = (model.local_steps or model.local_epochs * n_per_pass) if self._takes_steps else 1
        bits = self._stream(rng.BATCHES, share, round_index)
        passes = [rng.permutation(share.n_samples, bits)[: n_per_pass * size] for _ in range(-(-n_steps // n_per_pass))]
        return np.concatenate(passes).reshape(-1, size)[:n_steps].astype(np.int32)


def _moved(network: Network, shared: Vector) -> Vector:
    """Return shared minus local, as a new vector."""
    local = network.vector()
    return np.subtract(shared, local, out=local)
