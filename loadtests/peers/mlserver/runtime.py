"""An ONNX runtime for MLServer, which has none of its own: a class as its documentation shows one."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from loadtests.peers.served import Model


class OnnxModel(MLModel):
    async def load(self) -> bool:
        self._model = Model(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = self._model.run(NumpyCodec.decode_input(payload.inputs[0]))
        encoded = [NumpyCodec.encode_output(name, array) for name, array in outputs.items()]
        return InferenceResponse(model_name=self.name, outputs=encoded)
