"""ResNet-18, which ``keras.applications`` does not have."""

from simnb._keras import keras


def resnet18(input_shape=(32, 32, 3), *, rescale=True):
    """The network up to its map of features, for images of 0 to 255.

    Where images are smaller than 64 pixels the first convolution keeps their size and nothing is pooled
    after it, as is usual on CIFAR.

    Args:
        input_shape: (height, width, channels).
        rescale: Whether the model scales pixels to -1 to 1; False if your images are scaled already.

    Returns:
        A ``keras.Model`` with output [batch, height, width, 512].

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016. https://arxiv.org/abs/1512.03385
    """
    inputs = x = keras.Input(input_shape)
    if rescale:
        x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
    small = min(input_shape[:2]) < 64
    x = _convolution(x, 64, 3 if small else 7, 1 if small else 2)
    if not small:
        x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        x = _block(_block(x, filters, stride), filters, 1)
    return keras.Model(inputs, x, name="resnet18")


def _convolution(x, filters, size, stride, *, relu=True):
    x = keras.layers.Conv2D(
        filters, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.layers.ReLU()(x) if relu else x


def _block(x, filters, stride):
    shortcut = (
        x if stride == 1 and x.shape[-1] == filters else _convolution(x, filters, 1, stride, relu=False)
    )
    x = _convolution(_convolution(x, filters, 3, stride), filters, 3, 1, relu=False)
    return keras.layers.ReLU()(keras.layers.Add()([shortcut, x]))
