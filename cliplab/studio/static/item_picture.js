// Where the picture of an item is, at the size at which it is shown.

const HEIGHTS = [360, 480, 720, 1080, 1440, 2160]; // few, so that a window which changes a little asks for nothing new

/** The address of an item's picture for an element of the page; of a clip its first frame. */
export function pictureAddress(id, place) {
  const pixels = place.clientHeight * Math.min(2, devicePixelRatio);
  return `/items/${id}/frame?h=${HEIGHTS.find((one) => one >= pixels * 0.8) ?? HEIGHTS.at(-1)}`;
}
