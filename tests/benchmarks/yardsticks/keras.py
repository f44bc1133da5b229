"""Programs that an experienced user of Keras would write: the yardsticks of `keras`, `keras-on-jax`, `keras-on-torch`.

`docs/overhead.md` says what such a file contains. The networks are written by hand. Only EfficientNet-Lite0, which is
long, is the network that the backend has built.

On TensorFlow, training has three forms: `fit` on NumPy arrays, `fit` on a tf.data pipeline, and a loop of its own. On
the other engines it has two: `fit` on NumPy arrays, and a loop of its own in JAX or PyTorch.
"""

import keras
import numpy as np
from keras import layers, ops

ENGINE = keras.backend.backend()

STEPS = 8
"""The number of steps that `fit` runs in one call of its compiled function, where the engine supports it."""


def build_two_block_cnn():
    return keras.Sequential([
        keras.Input((32, 32, 3)),
        layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10),
    ])  # fmt: skip


def build_resnet20():
    """The network, and its layers with weights in the order in which the picture meets them."""
    made = []

    def normalized(x, channels, kernel=3, stride=1):
        if stride > 1 and kernel > 1:
            x = layers.ZeroPadding2D(1)(x)  # "same" pads on one side only if the stride is 2
        padding = "same" if stride == 1 else "valid"
        made.append(layers.Conv2D(channels, kernel, stride, padding, use_bias=False))
        made.append(layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
        return made[-1](made[-2](x))

    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(normalized(inputs, 16))
    for channels in (16, 32, 64):
        for _ in range(3):
            stride = channels // x.shape[-1]
            y = layers.ReLU()(normalized(x, channels, stride=stride))
            y = normalized(y, channels)
            if stride > 1:
                x = normalized(x, channels, kernel=1, stride=stride)
            x = layers.ReLU()(layers.Add()([y, x]))
    made.append(layers.Dense(10))
    return keras.Model(inputs, made[-1](layers.GlobalAveragePooling2D()(x))), made


def load(made, weights):
    """Load the first weights."""
    for layer, tensors in zip(made, weights, strict=True):
        layer.set_weights(list(tensors.values()))


def two_block_network(given):
    network = build_two_block_cnn()
    load([layer for layer in network.layers if layer.weights], given.weights)
    return network


def resnet20(given):
    network, made = build_resnet20()
    load(made, given.weights)
    return network


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def jit_compile(given):
    return True if given.mode == "compiled" else "auto"


def training(given, make):
    """Every form of training. `make` returns a new network and its optimiser."""
    found = {"fit on arrays": fit(given, *make(), arrays)}
    if ENGINE == "tensorflow":
        found["fit on tf.data"] = fit(given, *make(), pipeline)
        found["tf.function loop"] = tensorflow_loop(given, *make())
    elif ENGINE == "jax":
        found["jitted loop"] = jax_loop(given, *make())
    else:
        found["torch loop"] = torch_loop(given, *make())
    return found


def fit(given, network, optimizer, feed):
    steps = {} if ENGINE == "torch" else {"steps_per_execution": STEPS}
    network.compile(optimizer, LOSS, jit_compile=jit_compile(given), **steps)
    feed = feed(given)

    def over(order):
        batches = feed(order)

        def train():
            return network.fit(**batches, shuffle=False, verbose=0).history["loss"][0]

        return train

    return over


def arrays(given):
    """The pictures in the order of the training, as floating-point numbers."""
    x = given.images.astype(np.float32) / 255

    def feed(order):
        return {"x": x[order.ravel()], "y": given.labels[order.ravel()], "batch_size": given.batch_size}

    return feed


def pipeline(given):
    import tensorflow as tf

    x, y = tf.constant(given.images.astype(np.float32) / 255), tf.constant(given.labels)

    def feed(order):
        batches = tf.data.Dataset.from_tensor_slices(order).map(lambda rows: (tf.gather(x, rows), tf.gather(y, rows)))
        return {"x": batches.prefetch(2).with_options(without_autotuning())}

    return feed


def without_autotuning():
    """With autotuning, the end of a short pipeline waits for the tuner's thread."""
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def tensorflow_loop(given, network, optimizer):
    import tensorflow as tf

    optimizer.build(network.trainable_variables)
    batches = pipeline(given)

    @tf.function(jit_compile=given.mode == "compiled")
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, network(x, training=True))
        optimizer.apply(tape.gradient(loss, network.trainable_variables))
        return loss

    def over(order):
        data = batches(order)["x"]

        def train():
            losses = [step(x, y) for x, y in data]
            return float(tf.reduce_mean(tf.stack(losses)))

        return train

    return over


def jax_loop(given, network, optimizer):
    import jax
    import jax.numpy as jnp

    optimizer.build(network.trainable_variables)
    x, y = jnp.asarray(given.images.astype(np.float32) / 255), jnp.asarray(given.labels)
    state = [
        [jnp.copy(variable.value) for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables, optimizer.variables)
    ]

    def loss_of(learned, others, x, y):
        logits, others = network.stateless_call(learned, others, x, training=True)
        return LOSS(y, logits), others

    def step(state, x, y, rows):
        learned, others, moments = state
        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(learned, others, x[rows], y[rows])
        learned, moments = optimizer.stateless_apply(moments, gradients, learned)
        return (learned, others, moments), loss

    step = jax.jit(step, donate_argnums=0)

    def over(order):
        rows = jnp.asarray(order)

        def train():
            nonlocal state
            losses = []
            for batch in rows:
                state, loss = step(state, x, y, batch)
                losses.append(loss)
            return float(jnp.stack(losses).mean())

        return train

    return over


def torch_loop(given, network, optimizer):
    """A loop in PyTorch, with PyTorch's own fused optimiser, as Keras' guide for PyTorch shows it."""
    import torch

    x, y = torch.from_numpy(given.images).float().div(255), torch.from_numpy(given.labels).long()
    learned = [variable.value for variable in network.trainable_variables]
    fused = torch_optimizer(optimizer, learned)
    run = torch.compile(network) if given.mode == "compiled" else network

    def over(order):
        rows = torch.from_numpy(order).long()

        def train():
            losses = []
            for batch in rows:
                fused.zero_grad()
                loss = torch.nn.functional.cross_entropy(run(x[batch], training=True), y[batch])
                loss.backward()
                fused.step()
                losses.append(loss.detach())
            return torch.stack(losses).mean().item()

        return train

    return over


def torch_optimizer(optimizer, learned):
    """PyTorch's optimiser with the options of a Keras optimiser."""
    import torch

    rate = float(optimizer.learning_rate)
    if isinstance(optimizer, keras.optimizers.Adam):
        return torch.optim.Adam(learned, lr=rate, fused=True)
    return torch.optim.SGD(learned, lr=rate, momentum=optimizer.momentum, fused=True)


def two_block_cnn(given):
    return training(given, lambda: (two_block_network(given), keras.optimizers.Adam(1e-3)))


def cifar_resnet(given):
    return training(given, lambda: (resnet20(given), keras.optimizers.SGD(0.1, momentum=0.9)))


def feature_extraction(given):
    network = given.network().keras["features"]
    x = given.images.astype(np.float32) / 255
    network.compile(jit_compile=jit_compile(given))
    found = {"predict on arrays": lambda order: predicting(network, x[order.ravel()], batch_size=given.batch_size)}
    if ENGINE == "tensorflow":
        batches = pipeline(given)
        found["predict on tf.data"] = lambda order: predicting(network, batches(order)["x"])
    return found


def predicting(network, pictures, **options):
    return lambda: network.predict(pictures, verbose=0, **options)


def fine_tuning(given):
    def make():
        built = given.network()
        for name, layer in built.owners.items():
            layer.trainable = name in given.learned
        return built.keras["logits"], keras.optimizers.Adam(1e-4)

    return training(given, make)


def adversarial(given):
    """Projected gradient descent: the pictures come from the host, and return to it."""
    network = two_block_network(given)
    images, labels = np.float32(given.images) / 255, given.labels
    step = {"tensorflow": tensorflow_step, "jax": jax_step, "torch": torch_step}[ENGINE](given, network)

    def attack(x, y):
        first, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
        adversarial = first
        for _ in range(given.steps):
            adversarial = step(adversarial, first, y)
        return ops.convert_to_numpy(adversarial)

    return {"loop": lambda order: lambda: np.concatenate([attack(images[rows], labels[rows]) for rows in order])}


def moved(given, adversarial, first, gradient):
    changed = adversarial + given.step_size * ops.sign(gradient)
    return ops.clip(ops.clip(changed, first - given.epsilon, first + given.epsilon), 0, 1)


def tensorflow_step(given, network):
    import tensorflow as tf

    @tf.function(jit_compile=given.mode == "compiled")
    def step(adversarial, first, y):
        with tf.GradientTape() as tape:
            tape.watch(adversarial)
            loss = LOSS(y, network(adversarial, training=False))
        return moved(given, adversarial, first, tape.gradient(loss, adversarial))

    return step


def jax_step(given, network):
    import jax

    learned, others = ([v.value for v in vs] for vs in (network.trainable_variables, network.non_trainable_variables))

    def loss_of(x, learned, others, y):
        return LOSS(y, network.stateless_call(learned, others, x, training=False)[0])

    @jax.jit
    def step(adversarial, first, y, learned, others):
        return moved(given, adversarial, first, jax.grad(loss_of)(adversarial, learned, others, y))

    return lambda adversarial, first, y: step(adversarial, first, y, learned, others)


def torch_step(given, network):
    import torch

    run = torch.compile(network) if given.mode == "compiled" else network

    def step(adversarial, first, y):
        adversarial = adversarial.detach().requires_grad_()
        loss = torch.nn.functional.cross_entropy(run(adversarial, training=False), y.long())
        (gradient,) = torch.autograd.grad(loss, adversarial)
        changed = adversarial.detach() + given.step_size * gradient.sign()
        return torch.clamp(torch.clamp(changed, first - given.epsilon, first + given.epsilon), 0, 1)

    return step
