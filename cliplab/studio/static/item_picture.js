// Where the picture of an item is, at the size at which it is shown.

const HEIGHTS = [360, 480, 720, 1080, 1440, 2160]; // few, so that a window which changes a little asks for nothing new

/** How high a picture is to be for an element of the page, in pixels. */
export function pictureHeight(place) {
  const pixels = place.clientHeight * Math.min(2, devicePixelRatio);
  return HEIGHTS.find((one) => one >= pixels * 0.8) ?? HEIGHTS.at(-1);
}

/** The address of an item's picture for an element of the page; of a clip its first frame. */
export const pictureAddress = (id, place) => `/items/${id}/frame?h=${pictureHeight(place)}`;
