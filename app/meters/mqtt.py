"""A meter whose values come as MQTT messages. Needs the extra `mqtt`."""

from collections.abc import AsyncGenerator

from app.meters.shown import MeterError, Shown, from_json
from app.meters.sources import MqttSource

MOST_BYTES = 65_536  # of a message
KEEPALIVE_S = 15  # a broker that is gone is noticed within half as much again


async def messages(source: MqttSource, secret: str | None) -> AsyncGenerator[Shown | MeterError]:
    """What comes on the topic, as it comes; a message that says nothing as its error. Raises `MeterError` when the
    broker is not reached, or is gone. A retained message is left out: nobody knows how old it is."""
    try:
        import aiomqtt
    except ImportError as error:
        raise MeterError("aiomqtt is not installed: pip install 'smartcharge[mqtt]'") from error
    try:
        async with aiomqtt.Client(
            source.host,
            source.port,
            username=source.username,
            password=secret,
            tls_params=aiomqtt.TLSParameters() if source.tls else None,
            keepalive=KEEPALIVE_S,
            timeout=10,
        ) as client:
            await client.subscribe(source.topic)
            async for message in client.messages:
                if message.retain:
                    continue
                yield _shown(source, message.payload)
    except aiomqtt.MqttError as error:
        raise MeterError(f"the broker is not there: {type(error).__name__}") from error


def _shown(source: MqttSource, payload: object) -> Shown | MeterError:
    if not isinstance(payload, bytes | bytearray | str) or len(payload) > MOST_BYTES:
        return MeterError("no text, or too much of it")
    try:
        body = bytes(payload) if isinstance(payload, bytearray) else payload
        return from_json(body, source.values, power_unit=source.power_unit)
    except MeterError as error:
        return error
