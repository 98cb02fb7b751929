"""A FastAPI route that does nothing: what the framework takes by itself for a request of ours."""

from fastapi import FastAPI, Response

app = FastAPI()


@app.post("/v2/models/{name}/infer")
async def nothing(name: str) -> Response:
    return Response(b"{}", media_type="application/json")
