// The view's state lives in the address after #, so that a link restores it: #inside?model=cnn-relu&activation=elu

export const ROOMS = ["functions", "compare", "inside", "claims"];

/** The room that the address names, and its parameters. */
export function read() {
  const [room, query = ""] = location.hash.slice(1).split("?");
  return { room: ROOMS.includes(room) ? room : ROOMS[0], parameters: new URLSearchParams(query) };
}

/** The address of a view: pairs of name and value, without those that are empty. */
export function address(room, pairs) {
  const query = new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined));
  const text = query.toString().replaceAll("%2C", ",");
  return text ? `#${room}?${text}` : `#${room}`;
}

/** Put a view into the address, and into the room's tab, so that coming back finds it as it was left. */
export function write(room, pairs) {
  const here = address(room, pairs);
  document.querySelector(`nav a[data-room=${room}]`).setAttribute("href", here);
  if (read().room === room) history.replaceState(null, "", here);
}
