import { gunzipSync } from 'node:zlib'

/** A file of the binary log of MariaDB 10.11, without checksums and with all metadata: every kind of event that a reader meets, of one table `shop.sample`. */
export const logSample: Buffer = gunzipSync(
  Buffer.from(
    [
      'H4sIAAAAAAACA+1ZDWxbVxU+1352Xp22+W8TN2rPVtizm2vP7/knP6hkhXUo29LRqmVBA5bn+Nl5jf3s2M+t3Q212aSKsSFAqGirIkGpNoagIE',
      'rRxkCssAoF1gqEJjahDSFUMW20aplE16rZe+S+2I6dv00gwSLlSH4/9xyfe+757jnn3neNqKo9/EMy1uAAgGkAAMIuHIgBvyj6xV7foJxV5Ts/',
      '4Qt0xZSoKOVFXzKdgEWIqWnpWQc8NAPHcVwzwEXg3DwA8DxvAwCXyzUrWnn4nxPXwsE6nueZBVfbc5PM6JNs7B3sR2pHc4IxPACww2I0AUCqmB',
      'tPxnxRVfMHGIlM7jtM7jYASBAAHqq0gHdOm41JvUwAJDtrcpYtAthqPZDK/5z2nB7jfOCbUTZRlsuNpjMwklVkXUFdjiYVzMmpTFJBjxpDVdMx',
      'k1VTcraIY0qRooy6qhVZc17LqQlNiVGMYkqJqfmUqukURzCqJmr5MYwpI2pKTnqkAA15KSoYT6ZlnWIcY+l8NKlQTGBU1T2i5KU4ikVFzlJUMS',
      'brCsX9qKspxRP0UhyzmqzXiJdi0uLkdDmV8Uhe1PLJJMUUjozKWU/YS1HDA3LWeosEAl6KadSVgk4xU2mXAl5LXB7RlSzmFB2Tsq5qIsVxVLR8',
      'yiPIAhWigpeixfYIBYEKRYEKh1hbDvfn0hpFHaOqJmeLHja6PCbTWiKaTEcpHsB8Xo1RPIiqpugRioWKLyJhGmRGFTGTVjXdWwP4kJ0BbqsCfO',
      '0c4N9mUhttAGn2AKqWU7I6gypdhu6AnMwrOfSIFKVwmKIvTFHsCYUi3aFQoDvYHegNh8WIyDiiFAyFI93+nt6ASFH0hylK7BIVxIAoUJQCUoii',
      'wG6+gOSTegWKgij1BUN94Yi/u8d6n+NiNSsgSktzGUeOChSzSkaRdY+gCRSDFk7C5WOTb//01KVvnmFCL32PXZmkUKCH2O2hW+Vb+1D8okCxIM',
      'QUORZVlPicpoLQExAohmZ1BUoj9PX0ylHfSEyJ+3pEKehjbayJtTClfX3xeDzeJ/olf9AfEphrmB8scDwilbxeih6JlmbZh+tqTZ4WNhumAKDb',
      'Cu3m2eAHzgpw5+zMALedrOGvcY7Gda6W5iajYbrBMKaNacO4Zm5p5TieI3anzXAM2Wyt8C65TjiD44xGo3HHZs4wTTux7Qa7i+d53t/PqI4QLm',
      'xTY0QmUTJCYkQhcZIgo0Ql+8kYSZIU0UiaZMg4yZIc0UmeHCAHSYEUXYR31NnZEznkdNiYAp5Y03sjG8czdoA31lSPw22aJktw0yydmTfNCh1m',
      'l8vewht9AGf7S8nvDnA8/Pk/NByZen7zH586/cLU82tdrcpfi1d32eQoJdoqfWCyQ39/P3nL5mAFtxx53F9O/fLK12aQOLJKHypqJFt3Jh77/o',
      'UrE6V741wJMU1is3OHzRoy/iYdr3rtKMnOLRrgaimm4A7DNE1bqQg1sijdBADXrSitq1reVKrYZherYvZlqtjHAeBz1potn2GlvVzAWCXWcDsK',
      'udF0VhcoqjHczi5dKAZqkt1H6ld0smtn42h0AoSaFiS71YS3mvBW6f+Z8Fj01f+30ecAK4mtTqvVaTWvjhovmiariKUZUlNW77PqAb9YWc03MQ',
      'a3TFndBgDfalq8rMq4HbtrSmiieeWXUAkAnqoZh5t53vIyi2Cjzlhr3WqcfMYSdi3m5D83Myc7lnHy3Wz10bLEDtzDdv2at7ITD8/tc9kWNhwI',
      'eGs3bZdaVjQIz7Bx9DHftS5YxzxCjMLkzedM8/BnnM6jtz+x7+TwOQJPvPiOUQPGDuuf6xcDI9HKwHAuA8ZdAHCqdemFZNn5xZLz8eCoklVml5',
      'XhGiDybSsaiO+ycXwKAH7RtuiC8hH79AIwJg5ffe1HnY6t6wGGv3pxQw0qr1pqGhZD5b02hkrdMqiwqLx9A2uKKUlFVzCeTafK0CyJwLsbVjQC',
      'z5ZDQdz4vqFwzAqFkw/+01XxWZB5a+P7+0wUa5xG21e+014AgL+3L3Sa7f7C5Mjw8PWXLpw9e9a42d/5yqNfeu5428FT7e3rXwseIY/b7WODlx',
      'zG0ZaPXfRfeP3MP86t3+z/+it1x7ZMP9n8jaGOLwffefzuJzsuXb7c8aD04yyE93Z9dNtnve1/Ov36Az+/8h53l/Po0d2BZ4/AydNjh958+ydX',
      'Np04A/bOafP3U+fO7zG3OKYfioXqH+tas+/lKf7Va+T4UHsn3NLvjtRECukof8yviRT2pX5bB4sUvipS7iXW+MaJWQE+AgDDHUvXk7li0t1dWz',
      's87pX/wY8dh3zavQB7tlQarD7o2A0AJ9zViYcDcJfWWjzg3vkHHZY3hnbgzl134pDQLQp0SBCoFTy3MYW3AMCvSwrKx1QAMF4BUJhB5C2rxzVV',
      'AH6lBGDFMNbx9k3/gWGfvG9wcGDvfNsqWXbE0ula/OznaSb1hZni+atN1V9hPkjPE22FyS7vtgv37KID+zwD9/5uYJ9n13nf1IADHpjka21407',
      'KhfhkbMjOl4v7OeTZsXcaGCXf1+dMEFibvOe8d8O2ZswT2eHfecLh+e6P36Z8VXTfgNz+o/xfrj2P9UQB4tLPUj0XzT9CkfwNPl88XgxwAAA==',
    ].join(''),
    'base64',
  ),
)
