import { PNG } from "pngjs";

/**
 * Encodes a picture as a PNG file.
 *
 * @param pixels - Pixels as 0x00RRGGBB, row by row.
 * @param scale - The width and height, in dots of the file, of a pixel.
 */
export function encodePng(pixels: Uint32Array, width: number, height: number, scale = 2): Buffer {
  const png = new PNG({ width: width * scale, height: height * scale });
  for (let y = 0; y < png.height; y++) {
    for (let x = 0; x < png.width; x++) {
      const pixel = pixels[Math.floor(y / scale) * width + Math.floor(x / scale)]!;
      png.data.writeUInt32BE(((pixel << 8) | 0xff) >>> 0, 4 * (y * png.width + x));
    }
  }
  return PNG.sync.write(png, { colorType: 2, deflateLevel: 9 });
}
